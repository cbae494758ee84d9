/**
 * How long the kernel remembers a connection in which nobody says anything, in seconds, whatever this host is set to.
 *
 * - Open: five days, the kernel's own default. What it forgets loses its way: the next packet would be reset.
 * - Half closed: one side has said all that it has to say, and waits for the answer. The kernel would give the other one
 *   60 s for it; an hour is what kube-proxy gives.
 */
export const PATIENT_POLICY = "established : 432000, close_wait : 3600";

/** An unanswered SYN is forgotten when its client repeats it: the repetition goes to another endpoint. */
export const QUICK_POLICY = `syn_sent : 1, ${PATIENT_POLICY}`;
