//! How a store reports the time its statements take, without knowing who listens.

/// Every registered query of the store, by the name under which `/api/v1/metrics` lists it.
///
/// A write is timed from its submission to the durable commit, queue and fsync included; a read
/// to its last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    ContactCreate,
    ContactsCreate,
    ContactUpdate,
    ContactDelete,
    ContactGet,
    ContactByPhone,
    ContactByEmail,
    ContactsList,
    ContactsImport,
    ContactImportGet,
    KeyCreate,
    KeyDelete,
    KeysTouch,
    AnswerGet,
    AnswersForget,
    AuditLog,
    TaskCreate,
    TaskUpdate,
    TaskEnable,
    TaskDelete,
    FiresRecord,
    FiresList,
    RunsEnqueue,
    RunsClaim,
    RunsFinish,
    RunCancel,
    RunReplay,
    RunGet,
    RunAttempts,
    RunsList,
    RunLog,
    RunInputs,
    LeasesRenew,
    LeasesReap,
    RetentionApply,
    Backup,
}

impl Statement {
    pub const ALL: [Statement; 36] = [
        Statement::ContactCreate,
        Statement::ContactsCreate,
        Statement::ContactUpdate,
        Statement::ContactDelete,
        Statement::ContactGet,
        Statement::ContactByPhone,
        Statement::ContactByEmail,
        Statement::ContactsList,
        Statement::ContactsImport,
        Statement::ContactImportGet,
        Statement::KeyCreate,
        Statement::KeyDelete,
        Statement::KeysTouch,
        Statement::AnswerGet,
        Statement::AnswersForget,
        Statement::AuditLog,
        Statement::TaskCreate,
        Statement::TaskUpdate,
        Statement::TaskEnable,
        Statement::TaskDelete,
        Statement::FiresRecord,
        Statement::FiresList,
        Statement::RunsEnqueue,
        Statement::RunsClaim,
        Statement::RunsFinish,
        Statement::RunCancel,
        Statement::RunReplay,
        Statement::RunGet,
        Statement::RunAttempts,
        Statement::RunsList,
        Statement::RunLog,
        Statement::RunInputs,
        Statement::LeasesRenew,
        Statement::LeasesReap,
        Statement::RetentionApply,
        Statement::Backup,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Statement::ContactCreate => "contact_create",
            Statement::ContactsCreate => "contacts_create",
            Statement::ContactUpdate => "contact_update",
            Statement::ContactDelete => "contact_delete",
            Statement::ContactGet => "contact_get",
            Statement::ContactByPhone => "contact_by_phone",
            Statement::ContactByEmail => "contact_by_email",
            Statement::ContactsList => "contacts_list",
            Statement::ContactsImport => "contacts_import",
            Statement::ContactImportGet => "contact_import_get",
            Statement::KeyCreate => "key_create",
            Statement::KeyDelete => "key_delete",
            Statement::KeysTouch => "keys_touch",
            Statement::AnswerGet => "answer_get",
            Statement::AnswersForget => "answers_forget",
            Statement::AuditLog => "audit_log",
            Statement::TaskCreate => "task_create",
            Statement::TaskUpdate => "task_update",
            Statement::TaskEnable => "task_enable",
            Statement::TaskDelete => "task_delete",
            Statement::FiresRecord => "fires_record",
            Statement::FiresList => "fires_list",
            Statement::RunsEnqueue => "runs_enqueue",
            Statement::RunsClaim => "runs_claim",
            Statement::RunsFinish => "runs_finish",
            Statement::RunCancel => "run_cancel",
            Statement::RunReplay => "run_replay",
            Statement::RunGet => "run_get",
            Statement::RunAttempts => "run_attempts",
            Statement::RunsList => "runs_list",
            Statement::RunLog => "run_log",
            Statement::RunInputs => "run_inputs",
            Statement::LeasesRenew => "leases_renew",
            Statement::LeasesReap => "leases_reap",
            Statement::RetentionApply => "retention_apply",
            Statement::Backup => "backup",
        }
    }

    /// Whether it goes through the writer.
    pub fn is_write(self) -> bool {
        !matches!(
            self,
            Statement::ContactGet
                | Statement::ContactByPhone
                | Statement::ContactByEmail
                | Statement::ContactsList
                | Statement::ContactImportGet
                | Statement::AnswerGet
                | Statement::AuditLog
                | Statement::FiresList
                | Statement::RunGet
                | Statement::RunAttempts
                | Statement::RunsList
                | Statement::RunLog
                | Statement::RunInputs
        )
    }
}

/// Whoever wants to know. Called on the threads that do the work: it must be cheap.
pub trait StoreObserver: Send + Sync + 'static {
    fn statement(&self, statement: Statement, duration_micros: u64, failed: bool);
    /// One commit of the writer, its sync included.
    fn commit(&self, duration_micros: u64, rows: usize);
    /// Commands that wait for the writer, as one group starts.
    fn waiting(&self, commands: usize);
}

/// Nobody listens.
#[derive(Debug, Default)]
pub struct Unobserved;

impl StoreObserver for Unobserved {
    fn statement(&self, _: Statement, _: u64, _: bool) {}
    fn commit(&self, _: u64, _: usize) {}
    fn waiting(&self, _: usize) {}
}
