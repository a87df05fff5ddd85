//! What is known of a TLS session.

/// What is known of a TLS session. A field is empty if the TLS library in use does not provide it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The protocol's version, such as `TLSv1.3`. Not provided by native-tls.
    pub version: Option<String>,
    /// The cipher suite's name. Not provided by native-tls.
    pub cipher: Option<String>,
    /// The name that the client asked for (SNI). Not provided by native-tls.
    pub server_name: Option<String>,
    /// The client's certificate in DER, if the server asked for one, the client sent one, and it was verified.
    pub client_certificate: Option<Vec<u8>>,
    /// The channel binding `tls-server-end-point` of RFC 5929: the hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
    /// The channel binding `tls-exporter` of RFC 9266.
    pub exporter: Option<Vec<u8>>,
}
