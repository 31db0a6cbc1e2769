// Package archtest holds no code, only tests of the repository itself: which package may import which, what a user's build
// has to fetch, that the documentation compiles and its links lead somewhere. Each rule stands as a table beside its test,
// with the reason in it, and the message of a failure says where to change the table if the rule is wrong.
package archtest
