//! The identity is proved by SASL: requests of the connection itself, right behind the greeting.

use quorate_protocol::{
    Decode, Encode, ErrorCode, OpCode, Xid,
    record::{ReplyHeader, SaslRequest, SaslResponse},
};

use super::{Driver, Stage, outgoing::own_call};
use crate::{
    error::Disconnect,
    sasl::{Exchange, SaslError},
    session::Input,
};

/// Answers come in order, so nothing hangs on it; calls begin at 1.
const SASL_XID: Xid = Xid(0);

/// An exchange under way.
pub(super) struct Proof {
    exchange: Box<dyn Exchange>,
    /// The server has said something.
    joined: bool,
}

impl Driver {
    /// Sends the first token.
    pub(super) fn prove(&mut self) {
        let mechanism = self.parts.mechanism.as_ref().expect("who proves has a mechanism");
        let mut exchange = mechanism.begin();
        match exchange.first() {
            Ok(token) => {
                self.put_token(&token);
                self.proof = Some(Proof { exchange, joined: false });
                self.stage = Stage::Proving;
            }
            Err(error) => self.step(Input::Failed(error.into())),
        }
    }

    /// Answers a token of the server.
    pub(super) fn take_token(
        &mut self,
        header: ReplyHeader,
        body: &[u8],
    ) -> Result<(), Disconnect> {
        let wire = self.wire.as_mut().expect("a frame came from it");
        wire.answered(header.xid).ok_or(Disconnect::OutOfTurn(header.xid))?;
        match ErrorCode::from_wire(header.error) {
            _ if header.error == 0 => {}
            Some(ErrorCode::AuthFailed | ErrorCode::SessionClosedRequireSaslAuth) => {
                return Err(Disconnect::AuthFailed);
            }
            _ => return Err(SaslError::Refused(header.error).into()),
        }
        let SaslResponse { token } = SaslResponse::from_bytes(body)?;
        let proof = self.proof.as_mut().expect("an identity is being proved");
        // `Compat:` a server without SASL answers with nothing; one that has nothing to add, too.
        if token.is_none() && !proof.joined {
            return Err(SaslError::NotOffered.into());
        }
        proof.joined = true;
        if let Some(token) = proof.exchange.answer(token.unwrap_or_default())? {
            self.put_token(&token);
        } else {
            self.proof = None;
            self.stage = Stage::Shut;
            self.step(Input::Proved);
        }
        Ok(())
    }

    fn put_token(&mut self, token: &[u8]) {
        let Some(wire) = &mut self.wire else { return };
        let request = SaslRequest { token: Some(token) };
        wire.put_call(own_call(SASL_XID, OpCode::Sasl), |out| request.encode(out));
    }
}
