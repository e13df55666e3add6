package broker

// allAPIs lists what this broker speaks, by key. Each row lies in the API's own file.
func allAPIs() []api {
	return append([]api{}, groupAPIs()...)
}
