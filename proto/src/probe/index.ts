export { PROBE_PORT, type Probe, type ProbeTarget, probeHost } from "./probe-host.js";
export { type UntilSilentOptions, untilSilent } from "./until-silent.js";
