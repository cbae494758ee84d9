import { mkdir, readdir, readlink, rm, symlink } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { LabError } from "./lab-error.js";
import { readLabState } from "./lab-state.js";
import { RUN_ROOT } from "./paths.js";

/** Name of the default lab. Its addresses never change, so they can be bookmarked. */
export const DEFAULT_LAB = "lab";
const PREFIX = "10.77";
/** Number of subnets for labs: 10.77.0.0/24 to 10.77.255.0/24. */
const SUBNETS = 256;
const CLAIM_PREFIX = ".subnet-";

const ROOT_NUMBER = 1;
const SERVER_NUMBER = 2;
const TEMPLATE_NUMBER = 3;
const FIRST_HOST_NUMBER = 11;
/** Maximum number of hosts in a lab. Each runs a dockerd and an agent, and more would not start in time. */
export const MAX_HOSTS = 32;

/** Returns this machine's address on a lab's network. */
export const rootAddress = (subnet: string): string => `${subnet}.${ROOT_NUMBER}`;
/** Returns the address of the machine that runs only a server. */
export const serverMachineAddress = (subnet: string): string => `${subnet}.${SERVER_NUMBER}`;
/** Returns the address of the virtual machine with which snapshots are made. */
export const templateAddress = (subnet: string): string => `${subnet}.${TEMPLATE_NUMBER}`;
/** Returns the address of a host, by its index in the lab. */
export const hostAddress = (subnet: string, index: number): string =>
  `${subnet}.${FIRST_HOST_NUMBER + index}`;

/**
 * Claims a free /24 for a lab. The first candidate depends on the lab's name, so that a lab usually keeps its
 * addresses. A claim is a symbolic link to the lab's directory. Its creation is atomic, so two labs never get the same
 * subnet.
 *
 * @throws LabError LAB_NO_SUBNET if all subnets are in use.
 */
export async function claimSubnet(lab: string): Promise<string> {
  await mkdir(RUN_ROOT, { recursive: true });
  for (const number of listCandidates(lab)) {
    const subnet = `${PREFIX}.${number}`;
    if (!isUsedByThisMachine(subnet) && (await tryClaim(number, lab))) return subnet;
  }
  const taken = lab === DEFAULT_LAB ? `${PREFIX}.0.0/24` : `all of ${PREFIX}.0.0/16`;
  throw new LabError("LAB_NO_SUBNET", `no free subnet: ${taken} is in use; remove a lab`);
}

/** Removes a lab's claims. */
export async function releaseSubnets(lab: string): Promise<void> {
  const entries = await readdir(RUN_ROOT).catch(() => []);
  for (const entry of entries.filter((name) => name.startsWith(CLAIM_PREFIX))) {
    const claim = join(RUN_ROOT, entry);
    if ((await readClaim(claim)) === lab) await rm(claim, { force: true });
  }
}

/**
 * Claims a subnet. Takes over the claim of a lab without a description. Returns false if another lab has claimed it.
 */
async function tryClaim(number: number, lab: string): Promise<boolean> {
  const claim = join(RUN_ROOT, `${CLAIM_PREFIX}${number}`);
  const owner = await readClaim(claim);
  if (owner !== undefined && owner !== lab && !(await readLabState(owner))) await rm(claim, { force: true });
  return symlink(lab, claim).then(
    () => true,
    () => false,
  );
}

function readClaim(claim: string): Promise<string | undefined> {
  return readlink(claim).catch(() => undefined);
}

/** Returns the numbers of the subnets to try, in this order. */
function listCandidates(lab: string): number[] {
  if (lab === DEFAULT_LAB) return [0];
  const hash = [...lab].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 65_521, 7);
  return Array.from({ length: SUBNETS - 1 }, (_, step) => 1 + ((hash + step) % (SUBNETS - 1)));
}

function isUsedByThisMachine(subnet: string): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.some(({ address }) => address.startsWith(`${subnet}.`));
}
