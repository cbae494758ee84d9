export { formatJournalLine, isJournal } from "./journal.js";
export { type ServiceManager, type ServiceManagerOptions, serviceManager } from "./service-manager.js";
