import type { ErrorObject, ValidateFunction } from "ajv";
import { OPENAPI_TEXT } from "../../gen/openapi.js";
import { invalidRequest } from "./http-errors.js";

/** Maximum number of problems in one message. */
const MAX_PROBLEMS = 10;

/** Checks requests with the schemas of the documented API. Without this check, `fromJSON` ignores what it does not know. */
export class RequestSchemas {
  #validatorOf: ((name: string) => ValidateFunction | undefined) | undefined;

  /**
   * Checks that a value is a message of this type.
   *
   * @throws BerthError BERTH_INPUT_INVALID that lists all problems
   */
  async requireMessage(type: string, value: unknown): Promise<void> {
    this.#validatorOf ??= await createValidators();
    const validate = this.#validatorOf(type);
    if (validate === undefined) throw new Error(`no schema for ${type}`);
    if (validate(value)) return;
    const problems = [...new Set((validate.errors ?? []).map(describeProblem))];
    const more = problems.length > MAX_PROBLEMS ? ` and ${problems.length - MAX_PROBLEMS} more` : "";
    throw invalidRequest(`invalid request: ${problems.slice(0, MAX_PROBLEMS).join("; ")}${more}`);
  }
}

/** Loads the library on the first request, because programs that serve no page do not need it. */
async function createValidators(): Promise<(name: string) => ValidateFunction | undefined> {
  const { Ajv2020 } = await import("ajv/dist/2020.js");
  const ajv = new Ajv2020({ allErrors: true, strict: false, validateFormats: false });
  ajv.addSchema(JSON.parse(OPENAPI_TEXT), "api");
  return (name) => ajv.getSchema(`api#/components/schemas/${name}`);
}

function describeProblem({ instancePath, keyword, params, message = "is invalid" }: ErrorObject): string {
  const path = instancePath.slice(1).replaceAll("/", ".") || "the request";
  if (keyword === "additionalProperties") {
    return `${path} has no field ${JSON.stringify(params.additionalProperty)}`;
  }
  if (keyword === "enum") return `${path} must be one of ${params.allowedValues.join(", ")}`;
  return `${path} ${message}`;
}
