# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "in every draft" do
  Drafts::ALL.each do |draft|
    describe draft.to_s do
      include_examples "an opening handshake", draft
      include_examples "messages", draft
      include_examples "pings and pongs", draft
      include_examples "a closing handshake", draft
      include_examples "limits and broken rules", draft
    end
  end
end
