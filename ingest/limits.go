package ingest

import "time"

// Every limit on outside bytes stands here with its reason. Exceeding one is a
// status with a reason on the document, never a silent truncation.
const (
	// MaxFileBytes bounds one file. The largest gazettes and scanned reports of
	// our corpora are under 100 MB; twice that leaves room.
	MaxFileBytes = 200 << 20

	// MaxInFlightBytes bounds the files that are held in memory at a time, over
	// all registrations: two of the largest, or hundreds of usual ones.
	MaxInFlightBytes = 2 * MaxFileBytes

	// maxOutage is how long a source that answered before is waited for. A store
	// that is restarted comes back in seconds; a longer outage ends the job, which is
	// started again when somebody has seen to it.
	maxOutage = 2 * time.Minute

	// maxOutageAtStart is how long a job waits for the first answer.
	maxOutageAtStart = 3 * time.Second

	// maxFetches is how many objects of one job are on their way at a time. Fetching
	// waits for the network most of the time; the bytes are bounded elsewhere.
	maxFetches = 16

	// maxJobs bounds the jobs that a start goes on with; there are no more than
	// sources and prefixes that somebody asked for at a time.
	maxJobs = 1000

	// maxAhead is how many objects a job may be ahead of its checkpoint, and so the
	// most that a resumed job looks at again.
	maxAhead = 1000

	// MaxTextBytes bounds the text that a reader may return for one file. It is
	// ten times the longest act of the Pakistan Code; what exceeds it is a bomb.
	MaxTextBytes = 32 << 20

	// MaxPages bounds the pages of one file. A page count stands in the file and
	// costs nothing to claim.
	MaxPages = 5000

	// MaxNesting bounds files in files: an attachment of a mail in an archive is two,
	// and who forwards forwards makes three.
	MaxNesting = 3

	// MaxEntries bounds the entries of one archive. An office file has hundreds, an
	// archive of a year's papers thousands.
	MaxEntries = 10_000

	// MaxInflatedBytes bounds what comes out of the compression of one file, all
	// files inside it together.
	MaxInflatedBytes = 512 << 20

	// MaxInsideBytes bounds a file inside a file, which is held in memory while it is
	// read, as are those that it lies in.
	MaxInsideBytes = 64 << 20

	// MaxRatio bounds what an entry of an archive may unpack to, in multiples of its
	// packed size, from MinRatioBytes on. Markup packs to a tenth, an empty table to
	// a hundredth; zeros to a thousandth, which is what bombs are made of.
	MaxRatio      = 200
	MinRatioBytes = 1 << 20

	// ReaderMemory bounds what a reader process adds to the address space that it
	// starts with; hostile files that go past this do not end at all.
	ReaderMemory = 1 << 30

	// ReaderCPU bounds the processor time that a reader spends on one file. A
	// born-digital page takes about 6 ms, so it is enough for MaxPages.
	ReaderCPU = 30 * time.Second

	// ReaderTime bounds the wall-clock time of one file, for readers that wait
	// instead of working.
	ReaderTime = 60 * time.Second

	// ReaderFiles is how many files one reader process reads before it is
	// replaced, so that what one file leaves behind reaches few others.
	ReaderFiles = 200

	// ReaderStack bounds the stack of a reader: a cyclic file must hit it long
	// before the address space is gone.
	ReaderStack = 64 << 20
)
