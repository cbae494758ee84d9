// Given to node by --import: plants the bug that BERTH_SIM_MUTANT holds, as the source is loaded.
import { register } from "node:module";

register("./hooks.mjs", import.meta.url, { data: JSON.parse(process.env.BERTH_SIM_MUTANT ?? "{}") });
