//! The error codes that programs branch on, as named constants.
//!
//! Numbers and meanings come from Gigya's pages *Response Codes and Errors* (of the
//! REST API and of the Web SDK) and from the tables in Gigya's own SDKs for the Web,
//! Android and Swift. Codes on which these sources disagree are left out. The API has
//! more codes.
//!
//! ```
//! use gssdk::*;
//!
//! let text = r#"{"errorCode": 403047, "errorMessage": "There is no user with that username or email"}"#;
//! let response = GSResponse::from_text("accounts.resetPassword", text);
//! match response.get_error_code() {
//!     error_codes::SUCCESS => println!("sent"),
//!     error_codes::LOGIN_ID_DOES_NOT_EXIST => println!("sent"), // do not reveal who has an account
//!     code => println!("error {code}"),
//! }
//! ```

// Success, and its variants.

/// The request was executed.
pub const SUCCESS: i64 = 0;

/// The user canceled the login.
pub const OPERATION_CANCELED: i64 = 200_001;

/// The request was executed, with errors that are not fatal.
pub const OK_WITH_ERRORS: i64 = 200_008;

/// The accounts have been linked.
pub const ACCOUNTS_LINKED: i64 = 200_009;

/// Registered; the login identifier existed, and was treated as `conflictHandling` says.
pub const OK_WITH_ERROR_LOGIN_IDENTIFIER_EXISTS: i64 = 200_010;

// States of an account, steps of a registration.

/// The registration is not finalized, or a required field is missing; the answer contains a `regToken`.
pub const ACCOUNT_PENDING_REGISTRATION: i64 = 206_001;

/// The login id has to be verified before the user can log in; the answer contains a `regToken`.
pub const ACCOUNT_PENDING_VERIFICATION: i64 = 206_002;

/// The account has no login id, and the policy requires one.
pub const ACCOUNT_MISSING_LOGIN_ID: i64 = 206_003;

/// The social identity belongs to another account.
pub const IDENTITY_ALREADY_ASSIGNED: i64 = 206_004;

/// A code has been sent to the user, who has to enter it.
pub const PENDING_CODE_VERIFICATION: i64 = 206_006;

// The data center.

/// The API key is served by another data center; `apiDomain` of the answer names it.
pub const INVALID_DATA_CENTER: i64 = 301_001;

// Bad requests.

/// The request is malformed.
pub const INVALID_REQUEST_FORMAT: i64 = 400_001;

/// A required parameter is missing. The SDK also returns it, before anything is sent.
pub const MISSING_REQUIRED_PARAMETER: i64 = 400_002;

/// A unique identifier is already taken; listed in `validationErrors`. The SDK's error about CA certificates has the same code.
pub const UNIQUE_IDENTIFIER_EXISTS: i64 = 400_003;

/// A parameter is malformed.
pub const INVALID_PARAMETER_FORMAT: i64 = 400_004;

/// A parameter has a value that is not allowed. The SDK also returns it, before anything is sent.
pub const INVALID_PARAMETER_VALUE: i64 = 400_006;

/// The value already exists.
pub const DUPLICATE_VALUE: i64 = 400_007;

/// The `Authorization` header cannot be used.
pub const INVALID_AUTHENTICATION_HEADER: i64 = 400_008;

/// Fields of an account are not valid; `validationErrors` names them.
pub const VALIDATION_ERROR: i64 = 400_009;

/// The data does not match the schema.
pub const SCHEMA_VALIDATION_FAILED: i64 = 400_020;

/// The answer to a captcha was wrong.
pub const CAPTCHA_VERIFICATION_FAILED: i64 = 400_021;

/// A field with a unique index has a value that is already taken.
pub const UNIQUE_INDEX_VALIDATION_ERROR: i64 = 400_022;

/// A field has a value whose type does not match its schema.
pub const INVALID_TYPE_VALIDATION_ERROR: i64 = 400_023;

/// A field is not in the schema, which does not allow dynamic fields.
pub const DYNAMIC_FIELDS_VALIDATION_ERROR: i64 = 400_024;

/// The caller has no write access to the field.
pub const WRITE_ACCESS_VALIDATION_ERROR: i64 = 400_025;

/// A field's value does not have the format that its schema requires.
pub const INVALID_FORMAT_VALIDATION_ERROR: i64 = 400_026;

/// A required field is empty.
pub const REQUIRED_VALUE_VALIDATION_ERROR: i64 = 400_027;

/// The e-mail address is not verified.
pub const EMAIL_NOT_VERIFIED: i64 = 400_028;

/// The site's settings do not allow the operation.
pub const OPERATION_NOT_ALLOWED: i64 = 400_030;

/// The API key is unknown.
pub const INVALID_API_KEY: i64 = 400_093;

/// The operation is not supported.
pub const NOT_SUPPORTED: i64 = 400_096;

/// A limit of the site is reached.
pub const LIMIT_REACHED: i64 = 400_124;

/// The timestamp of a signature is too old.
pub const SIGNATURE_TIMESTAMP_EXPIRED: i64 = 400_128;

// Logins that need another step.

/// The login failed, and the next attempt needs a captcha.
pub const LOGIN_FAILED_CAPTCHA_REQUIRED: i64 = 401_020;

/// The login failed because the captcha was wrong.
pub const LOGIN_FAILED_WRONG_CAPTCHA: i64 = 401_021;

/// The password is one that the user has used before.
pub const OLD_PASSWORD_USED: i64 = 401_030;

// Permissions and logins.

/// The request is not allowed.
pub const FORBIDDEN: i64 = 403_000;

/// The request's timestamp is too far from the API's clock.
pub const REQUEST_HAS_EXPIRED: i64 = 403_002;

/// The signature of the request is wrong.
pub const INVALID_SIGNATURE: i64 = 403_003;

/// The API has already seen the request's nonce.
pub const DUPLICATE_NONCE: i64 = 403_004;

/// There is no such user on this site.
pub const UNAUTHORIZED_USER: i64 = 403_005;

/// Sensitive data was sent over http.
pub const SENSITIVE_DATA_SENT_OVER_HTTP: i64 = 403_006;

/// The key may not call this method, or not with these parameters.
pub const PERMISSION_DENIED: i64 = 403_007;

/// The secret is wrong.
pub const INVALID_SECRET: i64 = 403_010;

/// The session has ended.
pub const SESSION_HAS_EXPIRED: i64 = 403_011;

/// The user has no session.
pub const NO_VALID_SESSION: i64 = 403_012;

/// The user is not verified.
pub const UNVERIFIED_USER: i64 = 403_013;

/// The token is not valid.
pub const INVALID_TOKEN: i64 = 403_025;

/// The partner is not authorized to do this.
pub const UNAUTHORIZED_PARTNER: i64 = 403_036;

/// The account is disabled.
pub const ACCOUNT_DISABLED: i64 = 403_041;

/// The login id or the password is wrong.
pub const INVALID_LOGIN_ID: i64 = 403_042;

/// The login id belongs to another account.
pub const LOGIN_IDENTIFIER_EXISTS: i64 = 403_043;

/// The user is younger than the site allows.
pub const UNDERAGE_USER: i64 = 403_044;

/// The site is not configured for this.
pub const INVALID_SITE_CONFIGURATION: i64 = 403_045;

/// There is no account with this login id.
pub const LOGIN_ID_DOES_NOT_EXIST: i64 = 403_047;

/// There were too many calls; this one was not executed.
pub const API_RATE_LIMIT_EXCEEDED: i64 = 403_048;

/// The user has to change the password before logging in.
pub const PENDING_PASSWORD_CHANGE: i64 = 403_100;

/// The login needs the second factor; the answer contains a `regToken`.
pub const ACCOUNT_PENDING_TFA_VERIFICATION: i64 = 403_101;

/// The user has to register a second factor; the answer contains a `regToken`.
pub const ACCOUNT_PENDING_TFA_REGISTRATION: i64 = 403_102;

/// The operation requires a more recent login.
pub const ACCOUNT_PENDING_RECENT_LOGIN: i64 = 403_110;

/// There were too many failed logins.
pub const ACCOUNT_TEMPORARILY_LOCKED_OUT: i64 = 403_120;

// Not found.

/// The object that the request names does not exist.
pub const NOT_FOUND: i64 = 404_000;

/// There is no user with this UID.
pub const UID_NOT_FOUND: i64 = 404_003;

/// There is no such method.
pub const INVALID_API_METHOD: i64 = 405_001;

// Conflicts and size limits.

/// The identity already exists.
pub const IDENTITY_EXISTS: i64 = 409_001;

/// The request is too large.
pub const REQUEST_ENTITY_TOO_LARGE: i64 = 413_001;

/// The object is too large to be stored.
pub const OBJECT_TOO_LARGE: i64 = 413_003;

// The server.

/// Returned by the SDK, too: the network, the server or its answer is at fault; the outcome says more.
pub const NETWORK_OR_PROTOCOL_FAILURE: i64 = 500_000;

/// The API failed; it does not say whether it executed the request.
pub const GENERAL_SERVER_ERROR: i64 = 500_001;

/// The login failed on the API's side.
pub const SERVER_LOGIN_ERROR: i64 = 500_002;

/// A social network failed.
pub const PROVIDER_ERROR: i64 = 500_023;

/// The API's database failed.
pub const DATABASE_ERROR: i64 = 500_028;

// Timeouts.

/// A timeout inside the API; it does not say whether it executed the request.
pub const TIMEOUT: i64 = 504_001;

/// Returned by the SDK: no answer within the timeout; the outcome says more.
pub const REQUEST_TIMEOUT: i64 = 504_002;
