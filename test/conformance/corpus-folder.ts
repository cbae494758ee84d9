import { existsSync } from "node:fs";
import { join } from "node:path";
import { REPO_ROOT } from "../../deploy/lab/paths.js";

const given = process.env.BERTH_COMPOSE_CONFORMANCE;

/** The folder of real Compose files. It is not part of the project. */
export const CORPUS_FOLDER = given ?? join(REPO_ROOT, "../shared/compose");

/** Whether to skip tests of the folder, because it is not there. They must run when the variable names it. */
export const isCorpusOptional = given === undefined && !existsSync(join(CORPUS_FOLDER, "corpus/INDEX.tsv"));
