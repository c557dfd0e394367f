package extract

import "time"

// Limits that only this package needs; the others stand in package ingest.
const (
	// sniffBytes is how much of a file is looked at to find its type. Office
	// files name theirs within the first entries of the archive.
	sniffBytes = 16 << 10

	// maxMarkupBytes bounds a text or HTML file. UTF-16 takes twice the bytes of
	// its text, and markup about as many again as the text.
	maxMarkupBytes = 64 << 20

	// maxLabelBytes bounds each media type, reader name and reason.
	maxLabelBytes = 512

	// maxTreeDepth bounds the page tree of a PDF, which is balanced as tools
	// make it and may be cyclic as attackers do.
	maxTreeDepth = 64

	// maxContentBytes bounds the drawing instructions of one page, or of one form
	// on it. Maps and plans take some megabytes.
	maxContentBytes = 32 << 20

	// maxFormDepth bounds the forms within forms of a PDF. Stamps on stamps are
	// two or three.
	maxFormDepth = 8

	// maxPageReads bounds the bytes that the PDF reader asks of the file for one
	// page, or for opening it. Fonts and object streams are read again for every
	// page, yet no page of our corpora takes a megabyte; a loop takes all that it
	// gets, this much in a quarter of a second.
	maxPageReads = 32 << 20

	// maxDescriptors of a child: standard streams, the socket, one file, and
	// what the runtime needs to wait.
	maxDescriptors = 16

	// startTime bounds the start of a child, and endTime its end after its
	// answer broke off: both are milliseconds on an idle machine.
	startTime = 20 * time.Second
	endTime   = 2 * time.Second

	// maxStderrBytes is how much of a child's last words is looked at to tell
	// how it ended. The runtime names the cause first.
	maxStderrBytes = 4 << 10
)
