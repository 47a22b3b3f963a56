// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jupicotest imitates the part of Jupico's API that proves a credential, GET /status with HTTP Basic
// authentication, for tests and demonstrations. It knows nothing of the operator, and where Jupico's documentation
// leaves room it is strict: what passes here should pass there.
//
// # Documented by Jupico
//
//   - The error codes, and the HTTP status that each of them comes with.
//   - Authorization and Content-Type: application/json are required, even on a GET. The body is empty.
//   - HTTPS only. The handler does not look at the scheme; [NewServer] and the program jupico-emulator speak nothing
//     but TLS, 1.2 or newer.
//   - The shared sandbox account, its password and its API key ([PublishedUsername] and so on), and that its
//     environment is reset every 24 hours ([Emulator.Reset]; here on request, never by the clock).
//
// # Assumed
//
//   - The body of a good answer, {"success":true}.
//   - Tokens are compared exactly, as strings, so that base64("user:password") and base64("user:password\n") are two
//     different tokens. That the published account accepts the second one only is taken from its published key.
//   - The scheme is exactly "Basic", one space, then the token, and the content type exactly "application/json".
//   - A declared body counts as a body, also when it is chunked and turns out to be empty.
//   - The order of the checks: path and method, Authorization, Content-Type, body, token, state of the account.
//   - Another method on /status is answered like another path, with 404 wrong_url.
//   - A revoked credential is answered like one that never was, with auth_invalid_api_token.
//   - What the error messages say; see [SensitiveMessage].
package jupicotest
