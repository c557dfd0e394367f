// Package audit is the log of who did what: every look-up, registration, release,
// decision and reading of evidence, with ids, sizes and outcomes, never with content.
// Whoever can write to the disk, and has not the deployment's key, cannot change it
// unnoticed.
//
// # Format
//
// The log is files of JSON lines, named by the sequence number of their first record:
//
//	audit-00000000000000000001.jsonl
//	audit-00000000000000181203.jsonl
//
// A line is a record, beginning with its sequence number and ending with its code:
//
//	{"sequence":7,"time":"2026-05-06T07:08:09.1Z","principal":"k3…","action":"match",…,"mac":"5f…"}
//
// The code is HMAC-SHA256, with a key derived from the deployment's, of the code of the
// record before and of the line without its own code (the bytes as they stand, closed by
// a brace). So a record that is changed, left out, put elsewhere or made up breaks the
// chain at its place, and nobody without the key can mend it or add to it. The chain
// begins with 32 zeros.
//
// # Head
//
// Records could still be cut off at the end. So the file HEAD holds a checkpoint: sequence
// number, code and time of the last record, signed with Ed25519 (RFC 8032). There are two
// places for it, written in turns: if one is cut short by a crash the other holds. An
// append is acknowledged when both the line and the head that covers it are on disk. What
// a crash leaves beyond the head is signed when the log is opened; an incomplete last line
// was never acknowledged and is cut off.
//
// Who sets back the whole folder to an earlier state is not found out by what is in it.
// Therefore a checkpoint is a line of text that can be kept elsewhere, an anchor: [Verify]
// finds that the log does not lead there any more.
//
// # Rotation
//
// When the secret key is changed ([Rotate]), the log ends with a record of that, and its
// folder is named after its key. Nothing is added there any more, and nobody needs its key:
// the first record of the log that follows has the SHA-256 of the closed one, over what
// sha256sum prints of its files, so that it can be computed without us, and its last checkpoint.
// That log is chained with the next key, whose holder thereby vouches for both.
package audit
