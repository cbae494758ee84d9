import { render } from "preact";
import { startPreferences } from "./app/preferences.js";
import { startRouter } from "./app/router.js";
import { startSession } from "./app/session.js";
import { Page } from "./views/page.js";

startPreferences();
startRouter();
startSession();
render(<Page />, document.body);
