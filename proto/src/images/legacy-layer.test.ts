import { expect, test } from "vitest";
import { legacyLayerDigest } from "./legacy-layer.js";

// An image of two layers as Docker 20.10 has saved it.
const LAYERS = [
  "sha256:91219b0ed7d0f1a29877c2068a645818489d71c105f3ab8826fed75bc03fa445",
  "sha256:14a3b6919892c9d443764b67efdccb2c68b71fb6e3936d0baa22f582bdeef4aa",
];
const FIRST = {
  directory: "cdd00f68f2983e989be3e56c65b2d0e2a128a7b12c61d5290df3451d38a36353",
  json: Buffer.from(
    `{"id":"cdd00f68f2983e989be3e56c65b2d0e2a128a7b12c61d5290df3451d38a36353","created":"1970-01-01T00:00:00Z","container_config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"os":"linux"}`,
  ),
};
const LAST = {
  directory: "d493e37c2119df96df8f535cc82f9ac56ede1f4ca8d3b53103692d6c3b6e95ef",
  json: Buffer.from(
    String.raw`{"id":"d493e37c2119df96df8f535cc82f9ac56ede1f4ca8d3b53103692d6c3b6e95ef","parent":"cdd00f68f2983e989be3e56c65b2d0e2a128a7b12c61d5290df3451d38a36353","created":"2026-12-01T06:06:10.916617824Z","container":"53a9bf19a0ee3efaffc385c209b58730e0fda445968f581e2b7252f4e7856c2f","container_config":{"Hostname":"53a9bf19a0ee","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","X=1"],"Cmd":["/bin/sh","-c","#(nop) ","CMD [\"/a\"]"],"Image":"sha256:91fd196f95fbbbb48fe23a83cef1070e64ad30b8881127aa2a61bb30655ad9be","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{}},"docker_version":"20.10.24","config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","X=1"],"Cmd":["/a"],"Image":"sha256:91fd196f95fbbbb48fe23a83cef1070e64ad30b8881127aa2a61bb30655ad9be","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"architecture":"amd64","os":"linux"}`,
  ),
};

test("legacyLayerDigest finds the digests of the first and of the last layer", () => {
  expect(legacyLayerDigest(FIRST.directory, FIRST.json, LAYERS)).toBe(LAYERS[0]);
  expect(legacyLayerDigest(LAST.directory, LAST.json, LAYERS)).toBe(LAYERS[1]);
});

test("legacyLayerDigest returns undefined unless the name of the directory proves the layer", () => {
  expect(legacyLayerDigest(FIRST.directory, LAST.json, LAYERS)).toBeUndefined();
  expect(legacyLayerDigest(FIRST.directory, FIRST.json, LAYERS.slice(1))).toBeUndefined();
  expect(legacyLayerDigest(LAST.directory, LAST.json, LAYERS.toReversed())).toBeUndefined();
  for (const json of ["", "[]", "null", "{}"]) {
    expect(legacyLayerDigest("0a", Buffer.from(json), LAYERS)).toBeUndefined();
  }
});
