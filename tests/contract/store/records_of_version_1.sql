BEGIN TRANSACTION;
CREATE TABLE record_collections (
	collection VARCHAR NOT NULL, 
	forgotten BIGINT NOT NULL, 
	PRIMARY KEY (collection)
);
CREATE TABLE record_indexes (
	collection VARCHAR NOT NULL, 
	index_name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (collection, index_name)
);
INSERT INTO "record_indexes" VALUES('datasets','site',1);
INSERT INTO "record_indexes" VALUES('datasets','party',1);
CREATE TABLE record_keys (
	collection VARCHAR NOT NULL, 
	index_name VARCHAR NOT NULL, 
	"key" BLOB NOT NULL, 
	name VARCHAR NOT NULL, 
	PRIMARY KEY (collection, index_name, "key")
)
 WITHOUT ROWID

;
INSERT INTO "record_keys" VALUES('datasets','party',X'02706172746965732F6100037FFFFFFFFFFFFFFD0264617461736574732F6400','datasets/d');
INSERT INTO "record_keys" VALUES('datasets','party',X'02706172746965732F61000380000000000000000264617461736574732F6500','datasets/e');
INSERT INTO "record_keys" VALUES('datasets','site',X'0273697465732F78000264617461736574732F6400','datasets/d');
CREATE TABLE record_removals (
	collection VARCHAR NOT NULL, 
	sequence BIGINT NOT NULL, 
	name VARCHAR NOT NULL, 
	PRIMARY KEY (collection, sequence)
);
CREATE TABLE record_requests (
	principal VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	record BLOB NOT NULL, 
	sequence BIGINT NOT NULL, 
	create_us BIGINT NOT NULL, 
	PRIMARY KEY (principal, request_id)
);
INSERT INTO "record_requests" VALUES('spiffe://n/u','r',X'0A0643726561746512066469676573741A1D7375616E6D6573682E7472616E73706F72742E76312E4461746173657422170A0A64617461736574732F641209706172746965732F61',3,1767225600000000);
CREATE TABLE record_state (
	id INTEGER NOT NULL, 
	store VARCHAR NOT NULL, 
	node VARCHAR NOT NULL, 
	fence BIGINT NOT NULL, 
	sequence BIGINT NOT NULL, 
	indexes VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "record_state" VALUES(1,'1kdvdna00xdhcmh5hdwh','demo',5,3,'fb4435731ff33f7e');
CREATE TABLE records (
	collection VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	sequence BIGINT NOT NULL, 
	uid VARCHAR NOT NULL, 
	version BIGINT NOT NULL, 
	payload BLOB NOT NULL, 
	principal VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	traceparent VARCHAR NOT NULL, 
	update_us BIGINT NOT NULL, 
	writer_fence BIGINT NOT NULL, 
	PRIMARY KEY (collection, name)
);
INSERT INTO "records" VALUES('datasets','datasets/d',1,'1kdvdna00h5vgv1w89rg1',1,X'0A0A64617461736574732F641209706172746965732F6120033A09120773697465732F78','','','',1767225600000000,5);
INSERT INTO "records" VALUES('datasets','datasets/e',2,'1kdvdna00h5vgv1w89rg2',1,X'0A0A64617461736574732F651209706172746965732F61','','','',1767225600000000,5);
CREATE TABLE schema_version (
	version BIGINT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
CREATE INDEX records_by_sequence ON records (collection, sequence);
CREATE INDEX record_requests_by_age ON record_requests (create_us);
COMMIT;
