/**
 * How long the kernel remembers a connection in which nobody says anything, in seconds, as kube-proxy has it. What it
 * forgets loses its way: the next packet would be reset.
 *
 * - Open: a day. Few programs are silent for so long without asking whether the other side is still there.
 * - Half closed: one side has said all that it has to say, and waits for the answer. The kernel's own 60 s are less than
 *   many an answer takes.
 */
export const ESTABLISHED_S = 86_400;
export const HALF_CLOSED_S = 3_600;

/** An unanswered SYN is forgotten when its client repeats it: the repetition goes to another endpoint. */
export const TIMEOUT_POLICY = `syn_sent : 1, established : ${ESTABLISHED_S}, close_wait : ${HALF_CLOSED_S}`;
