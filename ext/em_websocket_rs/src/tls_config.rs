//! `Native::TlsConfig`: a certificate and all that goes with it, ready to serve.

use em_websocket::server::tls::{server_config, TlsHost, TlsOptions, TlsServer};
use magnus::{function, method, prelude::*, Error, RArray, RHash, RModule, Ruby, TryConvert};

use crate::convert::{
    error,
    options::{get, name, names, path, switch, text, truthy},
};

/// `Native::TlsConfig`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::TlsConfig", free_immediately, size)]
pub(crate) struct TlsConfig {
    server: TlsServer,
    asks_application: bool,
}

impl TlsConfig {
    fn new(ruby: &Ruby, options: RHash) -> Result<Self, Error> {
        let options = TlsOptions {
            private_key_file: path(ruby, options, "private_key_file")?,
            cert_chain_file: path(ruby, options, "cert_chain_file")?,
            private_key: text(ruby, options, "private_key")?,
            cert: text(ruby, options, "cert")?,
            private_key_pass: text(ruby, options, "private_key_pass")?,
            verify_peer: truthy(ruby, options, "verify_peer"),
            client_ca_file: path(ruby, options, "client_ca_file")?,
            fail_if_no_peer_cert: switch(ruby, options, "fail_if_no_peer_cert"),
            cipher_list: name(ruby, options, "cipher_list")?,
            ecdh_curve: name(ruby, options, "ecdh_curve")?,
            dhparam: path(ruby, options, "dhparam")?,
            ssl_version: names(ruby, options, "ssl_version")?,
            hosts: hosts(ruby, options)?,
        };
        let server = server_config(&options).map_err(|error| error::tls(ruby, &error))?;
        Ok(Self { server, asks_application: options.verify_peer })
    }

    fn warnings(&self) -> Vec<String> {
        self.server.warnings.clone()
    }

    /// True if the application is asked about clients' certificates.
    pub(crate) fn verify_peer(&self) -> bool {
        self.asks_application
    }

    pub(crate) fn server(&self) -> &TlsServer {
        &self.server
    }
}

/// Pairs of a name and the options of its certificate.
fn hosts(ruby: &Ruby, options: RHash) -> Result<Vec<(String, TlsHost)>, Error> {
    let Some(hosts) = get::<RArray>(ruby, options, "hosts")? else { return Ok(Vec::new()) };
    let host = |pair| {
        let (name, options) = <(String, RHash)>::try_convert(pair)?;
        let host = TlsHost {
            private_key_file: path(ruby, options, "private_key_file")?,
            cert_chain_file: path(ruby, options, "cert_chain_file")?,
            private_key: text(ruby, options, "private_key")?,
            cert: text(ruby, options, "cert")?,
            private_key_pass: text(ruby, options, "private_key_pass")?,
        };
        Ok((name, host))
    };
    hosts.into_iter().map(host).collect()
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("TlsConfig", ruby.class_object())?;
    class.define_singleton_method("new", function!(TlsConfig::new, 1))?;
    class.define_method("warnings", method!(TlsConfig::warnings, 0))?;
    class.define_method("verify_peer?", method!(TlsConfig::verify_peer, 0))
}
