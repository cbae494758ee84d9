export { type InstalledPackage, readInstalledPackage } from "./installed-package.js";
export { packInstalledPackage } from "./pack-installed-package.js";
export { PACKAGE_STORE, packageNameProblem, providePackage } from "./provide-package.js";
