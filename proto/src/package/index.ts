export { type InstalledPackage, readInstalledPackage } from "./installed-package.js";
export { packInstalledPackage } from "./pack-installed-package.js";
export {
  findStoredPackage,
  PACKAGE_STORE,
  packageNameProblem,
  providePackage,
  suitsArchitecture,
} from "./provide-package.js";
