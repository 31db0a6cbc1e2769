package lint

// rules are all of them, in the order of the documentation. Their IDs stay: files name them.
var rules = []*rule{
	// destructive
	&dropTable, &dropColumn, &dropSchema, &truncateTable, &dropPartition, &dropCascade, &deleteAll, &updateAll, &replaceInto, &alterIgnore,
	&sqliteRebuild, &sqliteRenameFirst, &sqliteRebuildLoses,
	// blocking
	&lockTimeout, &lockTables, &indexBlocking, &dropIndexBlocking, &reindexBlocking, &refreshBlocking, &vacuumFull, &changeType,
	&addColumnDefault, &addColumnRewrite, &setNotNull, &foreignKeyBlocking, &checkBlocking, &uniqueBlocking, &excludeBlocking, &validateSame,
	&attachPartition, &detachPartition, &setStorage, &alterDomain, &algorithmCopy, &modifyColumn, &columnPosition, &foreignKeyCopy,
	&convertCharset, &primaryKeyCopy, &fulltextBlocking, &rebuildTable, &onlineUnstated, &combineAlters, &foreignKeyIndex,
	// compatibility
	&renameTableRule, &renameColumn, &renameEnum, &dropNotNull, &definerPath,
	// data
	&addNotNull, &uniqueData, &insertColumns, &backfill, &compareNull, &disableTrigger, &sqliteAddColumn, &sqliteRebuildCheck, &sqliteDoubleQuotes,
	// irreversible
	&noDown, &downIncomplete,
	// transaction
	&transactionControl, &concurrentlyInTx, &concurrentlyExists, &concurrentlyPartitioned, &concurrentlyTimeout, &outsideTx, &enumInTx, &implicitCommit, &foreignKeysOff,
	&sessionSet, &pragmaInTx, &sqliteAlter, &sqliteDropColumn,
	// types
	&timestampZone, &timeZone, &serial, &intKey, &jsonType, &charType, &varcharLimit, &moneyType, &floatMoney, &noPrimaryKey, &utf8mb3, &engine,
	&timestamp2038, &displayWidth, &sqliteIntKey, &sqliteNullKey, &sqliteStringType,
	// naming
	&longName, &mixedCase, &reservedName, &unnamed, &wrongQuotes, &ifNotExists,
	// meta
	&allowReason, &allowUnknown, &allowUnused,
}
