/**
 * The bit of a connection's mark that says: balanced by the kernel. One bit, high up, since others use the low ones
 * (kube-proxy 0x4000 and 0x8000, Docker and Calico whole bytes of the packet's mark).
 */
export const BALANCED_BIT = 0x0020_0000;

/** As nft and iptables write it. */
export const BALANCED_MARK = `0x${BALANCED_BIT.toString(16)}`;
