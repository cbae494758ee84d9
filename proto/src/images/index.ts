export { type ArchivedLayer, createImageArchive, type ImageArchive } from "./image-archive.js";
export {
  type ImageConfig,
  invalidImage,
  isSha256Digest,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  sha256Digest,
} from "./image-config.js";
export { type LayerReader, readSavedImage } from "./saved-image.js";
