ALTER TABLE sources ADD COLUMN gone_at BIGINT NOT NULL DEFAULT 0; -- since when it is not there any more

ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'listing';
ALTER TABLE jobs ADD COLUMN scheduled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN expected BIGINT NOT NULL DEFAULT 0; -- objects; 0: not counted yet
ALTER TABLE jobs ADD COLUMN expected_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN rate DOUBLE PRECISION NOT NULL DEFAULT 0; -- objects a second, of late
ALTER TABLE jobs ADD COLUMN estimate TEXT NOT NULL DEFAULT '{}'; -- JSON

-- Files that made no document.
CREATE TABLE gaps (
	source     TEXT   NOT NULL,
	department TEXT   NOT NULL,
	collection TEXT   NOT NULL,
	sequence   BIGINT NOT NULL UNIQUE, -- that of documents
	outcome    TEXT   NOT NULL,
	status     TEXT   NOT NULL,
	reason     TEXT   NOT NULL,
	revision   BYTEA  NOT NULL,
	tries      BIGINT NOT NULL,
	since      BIGINT NOT NULL,
	tried_at   BIGINT NOT NULL,
	PRIMARY KEY (source, department, collection)
);
CREATE INDEX gaps_by_department ON gaps (department, sequence);

-- Objects that are to be looked at.
CREATE TABLE notices (
	place    TEXT   NOT NULL,
	object   TEXT   NOT NULL,
	sequence BIGINT NOT NULL UNIQUE, -- that of documents
	PRIMARY KEY (place, object)
);
