// Part of `npm run package`: collects the licenses of all bundled code into a Debian copyright file.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BundledFiles } from "./bundle.js";

const APACHE_NOTICE = `Licensed under the Apache License, Version 2.0. On Debian systems, the text of the license is in
/usr/share/common-licenses/Apache-2.0.`;

/** Matches the Apache License in the license file of Node.js, which quotes it for one of its libraries. */
const APACHE_TEXT = /[ \t]*Apache License\s+Version 2\.0, January 2004[\s\S]*?END OF TERMS AND CONDITIONS/g;

const LICENSE_FILE = /^(license|licence|copying|notice)([.-].*)?$/i;

/** An npm package whose code is in the bundle. */
interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** Name of the license, such as "MIT". */
  readonly license: string;
  readonly licenseText: string;
}

/**
 * Returns the text of /usr/share/doc/berth/copyright.
 *
 * @param nodeLicense the license of Node.js. Undefined if the package does not include Node.js
 */
export async function copyrightText(
  repository: string,
  files: BundledFiles,
  nodeLicense: string | undefined,
): Promise<string> {
  const packages = await Promise.all(
    packageDirectories(files).map((directory) => readPackage(join(repository, directory))),
  );
  return [
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
    "Upstream-Name: berth",
    "",
    "Files: *",
    "Copyright: the authors of berth",
    "License: Apache-2.0",
    indent(APACHE_NOTICE),
    ...packages.flatMap(({ name, version, license, licenseText }) => [
      "",
      "Files: usr/lib/berth/*",
      `Comment: includes ${name} ${version}`,
      "Copyright: see the license",
      `License: ${license}-of-${name.replaceAll(/[@/]/g, "-").replace(/^-/, "")}`,
      indent(licenseText),
    ]),
    ...(nodeLicense === undefined
      ? []
      : [
          "",
          "Files: usr/lib/berth/*/node",
          "Copyright: see the license",
          "License: Node.js",
          indent(nodeLicense.replaceAll(APACHE_TEXT, APACHE_NOTICE)),
        ]),
    "",
  ].join("\n");
}

/** Returns the directories of the npm packages that contain these files. Packages can be nested. */
function packageDirectories(files: BundledFiles): string[] {
  const directories = files.flatMap((file) => {
    const [match] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? [];
    return match === undefined ? [] : [match];
  });
  return [...new Set(directories)].sort();
}

async function readPackage(directory: string): Promise<BundledPackage> {
  const manifest: Readonly<Record<string, unknown>> = JSON.parse(
    await readFile(join(directory, "package.json"), "utf8"),
  );
  const { name, version, license } = manifest;
  const names = (await readdir(directory)).filter((file) => LICENSE_FILE.test(file)).sort();
  const texts = await Promise.all(
    names.map(async (file) => replaceApacheLicense(await readFile(join(directory, file), "utf8"))),
  );
  const licenseText = texts.length > 0 ? texts.join("\n") : `Licensed under ${license}.`;
  return { name: String(name), version: String(version), license: String(license), licenseText };
}

/** Replaces the Apache License, which every Debian host has, with a reference to it. Keeps the copyright notices. */
function replaceApacheLicense(text: string): string {
  if (!/Apache License\s+Version 2\.0, January 2004/.test(text)) return text;
  const notices = text.match(/^\s*Copyright .*\d{4}.*$/gm) ?? [];
  return [...notices.map((notice) => notice.trim()), APACHE_NOTICE].join("\n");
}

/** Formats a text as the continuation lines of a field. An empty line becomes a full stop. */
function indent(text: string): string {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => (line.trim() === "" ? " ." : ` ${line.trimEnd()}`))
    .join("\n");
}
