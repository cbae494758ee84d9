import { UPDATE_FLAGS, type UpdateFlag, type UpdateFlagName } from "../update/flags.js";

/** Short forms of options, as in Docker. */
const SHORT_OPTIONS: Readonly<Record<string, string>> = {
  env: "e",
  label: "l",
  publish: "p",
  user: "u",
  workdir: "w",
  tty: "t",
};

/** Flags that `berth service create` has as arguments or as separate options. */
const OTHER_FLAGS: readonly UpdateFlagName[] = ["image", "args"];

/** Flags that keep their `-add` suffix, as in `docker service create`. */
const UNCHANGED_NAMES: readonly UpdateFlagName[] = ["cap-add"];

const ADDITION_SUFFIX = "-add";
const REMOVAL_SUFFIX = "-rm";

/** An option of `berth service create`, and the flag of `berth service update` that has the same effect. */
export interface CreateOption extends UpdateFlag {
  /** Docker's name: "env" for the flag "env-add". */
  readonly name: string;
  readonly short: string | undefined;
  readonly flag: UpdateFlagName;
}

/** Options of `berth service create` that set fields of the spec, with Docker's names. */
export const CREATE_OPTIONS: readonly CreateOption[] = Object.entries<UpdateFlag>(UPDATE_FLAGS).flatMap(
  ([name, flag]) => {
    const update = name as UpdateFlagName;
    if (name.endsWith(REMOVAL_SUFFIX) || OTHER_FLAGS.includes(update)) return [];
    const option = optionOf(update);
    const description = flag.description
      .replace(/^add or update (?:a|an) /, "")
      .replace(/^add (?:a|an) /, "");
    return [{ ...flag, description, name: option, short: SHORT_OPTIONS[option], flag: update }];
  },
);

/** Returns the option that sets the value of a flag of `berth service update`. */
function optionOf(flag: UpdateFlagName): string {
  const isAddition = flag.endsWith(ADDITION_SUFFIX) && !UNCHANGED_NAMES.includes(flag);
  return isAddition ? flag.slice(0, -ADDITION_SUFFIX.length) : flag;
}
