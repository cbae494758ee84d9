import { existsSync } from "node:fs";
import { join } from "node:path";
import { REPO_ROOT } from "../../deploy/lab/paths.js";

const configured = process.env.BERTH_COMPOSE_CONFORMANCE;

/** Directory with real Compose files and the output of Docker Compose for them. Not part of the repository. */
export const CORPUS_DIRECTORY = configured ?? join(REPO_ROOT, "../shared/compose");

/** Whether to skip tests that need the corpus, because it does not exist. If the variable is set, they must run. */
export const isCorpusOptional =
  configured === undefined && !existsSync(join(CORPUS_DIRECTORY, "corpus/INDEX.tsv"));
