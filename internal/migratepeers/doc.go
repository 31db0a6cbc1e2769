// Package migratepeers runs other tools' migrations with their own libraries and adopts what they have made: the proof that their files and
// ledgers are what package adopt takes them for. compare measures our runner against them.
package migratepeers
