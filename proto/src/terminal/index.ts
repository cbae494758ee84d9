export { type InputStream, readSecret, type SecretSource, type SecretStreams } from "./read-secret.js";
