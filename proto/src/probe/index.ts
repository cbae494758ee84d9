export { PROBE_PORT, type Probe, type ProbeTarget, probeHost } from "./probe-host.js";
export { type ProbeUntilSilentOptions, probeUntilSilent } from "./probe-until-silent.js";
