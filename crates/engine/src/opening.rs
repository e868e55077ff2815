//! Opening a flow before anything is asked, and noting something about it.

use crate::error::Refusal;
use crate::flow::{Flow, Handle};
use crate::store::{Decision, Operation, Write};

/// Opens a flow in which nothing is asked yet.
#[derive(Debug)]
pub struct OpenFlow {
    /// The flow: its handle is of something unguessable, so nobody has it yet.
    pub flow: Flow,
}

impl Operation for OpenFlow {
    type Seen = ();
    type Outcome = Flow;

    fn decide(&self, (): ()) -> Decision<Flow> {
        Decision { outcome: self.flow.clone(), writes: vec![Write::PutFlow(Box::new(self.flow.clone()))] }
    }
}

/// Replaces the surface's note of a flow, in whatever state that is.
#[derive(Debug)]
pub struct Annotate {
    /// The flow's handle.
    pub handle: Handle,
    /// What the note says from now on.
    pub memo: String,
}

impl Operation for Annotate {
    type Seen = Option<Flow>;
    type Outcome = Result<(), Refusal>;

    fn decide(&self, seen: Option<Flow>) -> Decision<Self::Outcome> {
        match seen {
            None => Decision { outcome: Err(Refusal::FlowNotFound), writes: Vec::new() },
            Some(flow) => {
                Decision { outcome: Ok(()), writes: vec![Write::AnnotateFlow { id: flow.id, memo: self.memo.clone() }] }
            }
        }
    }
}
