export { type ArchivedLayer, type ImageArchive, writeBytes, writeImageArchive } from "./image-archive.js";
export {
  type ImageConfig,
  invalidImageError,
  isSha256Digest,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  sha256Digest,
} from "./image-config.js";
export { type LayerReader, readSavedImage } from "./saved-image.js";
