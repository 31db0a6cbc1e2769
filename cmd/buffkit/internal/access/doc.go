// Package access says who may read and publish what, by signed tokens.
//
// An access token is a JSON Web Token (RFC 7519), signed with HMAC-SHA256, so that an app in any language can make one:
//
//	header  {"alg":"HS256","kid":"1f2e3d4c"}
//	claims  {"aud":"buffkit-access","sub":"ann","exp":1767225600,
//	         "buffkit":{"subscribe":["orders/*","news"],"publish":["orders/*"]}}
//
// The key of the signature is the secret's text as it stands in the secret file. kid names the secret and may be left out;
// all secrets are then tried. aud and exp are required: without the audience, anything else that was ever signed with the
// secret would open the hub.
package access
