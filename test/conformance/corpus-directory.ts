import { existsSync } from "node:fs";
import { join } from "node:path";
import { REPO_ROOT } from "../../deploy/lab/paths.js";

const given = process.env.BERTH_COMPOSE_CONFORMANCE;

/** The directory of real Compose files. It is not part of the project. */
export const CORPUS_DIRECTORY = given ?? join(REPO_ROOT, "../shared/compose");

/** Whether to skip tests of the directory, because it is not there. They must run when the variable names it. */
export const isCorpusOptional =
  given === undefined && !existsSync(join(CORPUS_DIRECTORY, "corpus/INDEX.tsv"));
