package peer

// mercurePeer is a program and a module of its own: its licence is the AGPL.
var mercurePeer = Peer{
	Name: "mercure", Title: "mercure 0.21", Resumes: true, Pace: 34e3,
	Prepare: built("mercure", true),
	request: byLastEventID("/.well-known/mercure"),
}
