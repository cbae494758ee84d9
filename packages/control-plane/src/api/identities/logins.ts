import {
  BerthError,
  type CreateLoginRequest,
  type CreateLoginResponse,
  type RedeemLoginRequest,
  type RedeemLoginResponse,
} from "@berth/proto";
import type { Caller } from "@berth/proto/rpc";
import type { ApiContext } from "../api-context.js";

/** Creates a code with which a browser logs in as the caller. */
export function createLogin(
  { readOnly }: CreateLoginRequest,
  { loginCodes, registrations, runtime }: ApiContext,
  caller: Caller,
): CreateLoginResponse {
  if (caller.kind !== "user") {
    throw new BerthError({ code: "BERTH_PERMISSION_DENIED", message: "only users log in with a browser" });
  }
  const grant = { userName: caller.name, isReadOnly: readOnly };
  const { code, expiresAtMs } = loginCodes.create(grant, runtime.wallClockMs());
  const urls = registrations().flatMap(({ webUrl }) => (webUrl === "" ? [] : [webUrl]));
  return { code, expiresAtMs, urls: urls.sort() };
}

/**
 * Exchanges a login code for the name of its user. A code works once.
 *
 * @throws BerthError BERTH_UNAUTHENTICATED for a used, expired or wrong code
 */
export function redeemLogin(
  { code }: RedeemLoginRequest,
  { loginCodes, runtime }: ApiContext,
): RedeemLoginResponse {
  const { userName, isReadOnly } = loginCodes.redeem(code, runtime.wallClockMs());
  return { certificateName: userName, readOnly: isReadOnly };
}
