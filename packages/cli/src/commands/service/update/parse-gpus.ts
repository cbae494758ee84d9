import { ALL_DEVICES, DeviceRequest, GPU_CAPABILITY } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { parseCount } from "./parse-flag-values.js";

const DEFAULT_COUNT = 1;
/** Fields whose values contain commas. */
const LIST_KEYS: readonly string[] = ["device", "capabilities"];

/** Parses Docker's `--gpus`: `all`, a number, or fields such as `driver=nvidia,device=0,1`. Empty text requests none. */
export function parseGpus(text: string): Parsed<readonly DeviceRequest[]> {
  // Docker requires quotes around a value with commas.
  const trimmed = text.replaceAll('"', "").trim();
  if (trimmed === "") return valid([]);
  const request = DeviceRequest.fromPartial({ capabilities: [GPU_CAPABILITY] });
  let key = "";
  for (const item of trimmed.split(",")) {
    const [name, ...rest] = item.split("=");
    const isContinued = rest.length === 0 && LIST_KEYS.includes(key);
    const isCount = rest.length === 0 && !isContinued;
    if (!isContinued) key = isCount ? "count" : (name ?? "").trim();
    const problem = setField(request, key, (rest.length === 0 ? item : rest.join("=")).trim());
    if (problem !== undefined) return invalid(problem);
  }
  const { count, deviceIds } = request;
  if (count !== 0 && deviceIds.length > 0) return invalid("a number and devices are mutually exclusive");
  return valid([{ ...request, count: count === 0 && deviceIds.length === 0 ? DEFAULT_COUNT : count }]);
}

/** Sets a field of the request. Returns why the value is invalid. */
function setField(request: DeviceRequest, key: string, value: string): string | undefined {
  switch (key) {
    case "count": {
      const count = value === "all" ? valid(ALL_DEVICES) : parseCount(value);
      if (count.kind === "invalid" || count.value === 0) {
        return `${JSON.stringify(value)} is not a number of GPUs; use all, a number, or device=ID`;
      }
      request.count = count.value;
      return undefined;
    }
    case "driver":
      request.driver = value;
      return undefined;
    case "device":
      request.deviceIds.push(value);
      return undefined;
    case "capabilities":
      if (!request.capabilities.includes(value)) request.capabilities.push(value);
      return undefined;
    default:
      return `unknown key ${JSON.stringify(key)}; use count, driver, device or capabilities`;
  }
}
