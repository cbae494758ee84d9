import { BerthError, type GetInstallScriptResponse } from "@berth/proto";
import { SCRIPT_PATH } from "../install/install-script.js";
import type { ApiContext } from "./api-context.js";

/**
 * Returns the script with which hosts install berth from this server.
 *
 * @throws BerthError BERTH_UNSUPPORTED
 */
export async function getInstallScript({
  installer,
  address,
}: Pick<ApiContext, "installer" | "address">): Promise<GetInstallScriptResponse> {
  if (installer === undefined) {
    throw new BerthError({ code: "BERTH_UNSUPPORTED", message: "this server has no packages" });
  }
  const packages = await installer.packages();
  return {
    script: await installer.script(),
    url: `https://${address}${SCRIPT_PATH}`,
    architectures: packages.map(({ architecture }) => architecture),
  };
}
