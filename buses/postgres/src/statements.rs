//! The statements for Postgres.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Statement};

/// The statements of a connection, prepared.
#[derive(Clone)]
pub(crate) struct Statements {
    pub(crate) notify: Statement,
    /// Without the table there are none.
    pub(crate) rows: Option<Rows>,
}

/// Those about the table of attachments.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) insert: Statement,
    pub(crate) select: Statement,
    pub(crate) clean: Statement,
}

/// Prepares everything. Gives the reason besides if there is no table and none can be made.
pub(crate) async fn prepare(client: &Client, table: &str) -> Result<(Statements, Option<Error>), Error> {
    let notify = client.prepare_typed("SELECT pg_notify($1, $2)", &[Type::TEXT, Type::TEXT]).await?;
    let table = identifier(table);
    let mut refused = None;
    let mut rows = prepare_rows(client, &table).await;
    if rows.is_err() {
        let make = format!(
            "CREATE TABLE IF NOT EXISTS {table} \
             (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)"
        );
        // Another node may do the same in this moment, and one of the two is refused.
        refused = client.batch_execute(&make).await.err();
        rows = prepare_rows(client, &table).await;
    }
    let rows = match rows {
        Ok(rows) => Some(rows),
        Err(error) if error.is_closed() => return Err(error),
        Err(error) => return Ok((Statements { notify, rows: None }, Some(refused.unwrap_or(error)))),
    };
    Ok((Statements { notify, rows }, None))
}

async fn prepare_rows(client: &Client, table: &str) -> Result<Rows, Error> {
    // A table that others have made may have columns of other types: Postgres converts them, or says why not.
    let insert = format!("INSERT INTO {table} (payload) VALUES ($1) RETURNING id::int8");
    let select = format!("SELECT payload::bytea FROM {table} WHERE id = $1");
    let clean = format!("DELETE FROM {table} WHERE created_at < NOW() - INTERVAL '30 seconds'");
    Ok(Rows {
        insert: client.prepare_typed(&insert, &[Type::BYTEA]).await?,
        select: client.prepare_typed(&select, &[Type::INT8]).await?,
        clean: client.prepare(&clean).await?,
    })
}

/// A name in the form that Postgres takes for any name.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\"").replace('\0', ""))
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn any_name_is_an_identifier() {
        assert_eq!(identifier("socket.io#/\"; DROP"), "\"socket.io#/\"\"; DROP\"");
    }
}
