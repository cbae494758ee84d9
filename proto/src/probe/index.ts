export { PROBE_PORT, type Probe, type ProbeTarget, probeHost } from "./probe-host.js";
export {
  type ProbeUntilSilentOptions as UntilSilentOptions,
  probeUntilSilent,
} from "./probe-until-silent.js";
