"""Who somebody is, and what they may ask for: sign-in, sessions, forms' tokens, rate limits.

    access      puts together what the settings ask for
    gate        before every handler: who asks, whether their roles allow it, whether a form is one of ours
    oidc        the way to an identity provider and back      proxy   a proxy's signed token
    local       a name, on loopback                           claims  from a token's claims to a person
    tokens      whether a signed token holds                  web_client  asks the provider
    sessions    who is signed in                              cookies     what the browser keeps of it
    rates       how often one person and one address may ask
    errors      why a request is refused

A handler says which roles may call it (`requires`), or that everybody may (`open_to_all`); the desk does
not start with one that says neither. Inside a handler, `person_of(request)` is who asks, and
`csrf_of(request)` is the token that each form, and each change sent by a script, has to bring back.
"""

from review.access.gate import Gate, csrf_of, every_route_is_guarded, open_to_all, person_of, requires

__all__ = ["Gate", "csrf_of", "every_route_is_guarded", "open_to_all", "person_of", "requires"]
