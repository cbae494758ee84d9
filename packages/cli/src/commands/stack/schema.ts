import { composeJsonSchema } from "../../compose/model/json-schema.js";
import type { Cli } from "../../process/cli.js";

/** `berth stack schema` */
export async function printSchema(cli: Cli): Promise<void> {
  cli.stdout.write(`${JSON.stringify(composeJsonSchema(), undefined, 2)}\n`);
}
