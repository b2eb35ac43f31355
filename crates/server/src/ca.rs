//! Certificates made by `bartizan init`: a private CA and the server's own certificate.
