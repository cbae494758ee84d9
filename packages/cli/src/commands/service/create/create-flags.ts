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

/** Flags that are no options of `berth service create`, which takes them as arguments. */
const ARGUMENT_FLAGS: readonly UpdateFlagName[] = ["image", "args"];

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
    const flagName = name as UpdateFlagName;
    if (name.endsWith(REMOVAL_SUFFIX) || ARGUMENT_FLAGS.includes(flagName)) return [];
    const option = createOptionName(flagName);
    // "add or update an environment variable" becomes "environment variable".
    const description = flag.description
      .replace(/^add or update (?:a|an) /, "")
      .replace(/^add (?:a|an) /, "");
    return [{ ...flag, description, name: option, short: SHORT_OPTIONS[option], flag: flagName }];
  },
);

/** Returns the name of the option that has the effect of a flag of `berth service update`. */
function createOptionName(flag: UpdateFlagName): string {
  const isAddition = flag.endsWith(ADDITION_SUFFIX) && !UNCHANGED_NAMES.includes(flag);
  return isAddition ? flag.slice(0, -ADDITION_SUFFIX.length) : flag;
}
