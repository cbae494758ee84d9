// docker-modem writes the options of each request to standard error if DEBUG selects its namespace, with the passwords of
// registries in the header X-Registry-Auth. The package `debug` reads DEBUG when it is loaded, so this module comes first.

if (process.env.DEBUG !== undefined) process.env.DEBUG += ",-modem";
