# frozen_string_literal: true

require_relative "visitor"

# Agreements of browsers and this library. `.ci/run` runs it.
RSpec.describe EventMachine::WebSocket, "negotiating with browsers", :extension, timeout: 90 do
  def serve_page(options)
    serve(options) do |ws|
      record(ws, :close)
      ws.onbinary { |bytes| ws.send_binary(bytes) }
      ws.onmessage { |text| text == "close me" ? ws.close(4001, "as you wish") : ws.send(text) }
    end
  end

  def visit(task) = @visitor.perform({ url: "ws://127.0.0.1:#{server.port}/" }.merge(task))

  # Firefox does not say with what parameters.
  name = "permessage-deflate"
  parameters = "server_no_context_takeover; client_no_context_takeover; client_max_window_bits=10"
  # The server's options, and what each browser's page sees as `extensions`.
  extensions = {
    {} => { chromium: "", firefox: "" },
    { compression: true } => { chromium: name, firefox: name },
    { compression: { context_takeover: false, window_bits: 10 } } =>
      { chromium: "#{name}; #{parameters}", firefox: name }
  }
  # The server's options, what the page asks for, and what it sees as `protocol`.
  protocols = [
    [{}, nil, ""],
    [{}, "chat", "chat"],
    [{}, %w[v2.chat v1.chat], "v2.chat"],
    [{ protocols: %w[v1.chat v2.chat] }, %w[v2.chat v1.chat], "v1.chat"]
  ]

  { chromium: "Chromium", firefox: "Firefox" }.each do |browser, called|
    describe called do
      before(:context) { @visitor = Visitor.new(browser) }
      after(:context) { @visitor&.quit }

      protocols.product(extensions.to_a, [false, true]).each do |protocol, extension, attached|
        options = protocol[0].merge(extension[0])
        way = attached ? "on EventMachine's own sockets" : "in the background"

        it "agrees with #{options} on #{protocol[1].inspect}, #{way}", attached: attached do
          serve_page(options)

          expect(visit({ protocols: protocol[1] }.compact)).to eq(
            "protocol" => protocol[2], "extensions" => extension[1].fetch(browser), "echoes" => 6,
            "code" => 4001, "reason" => "as you wish", "wasClean" => true
          )
          expect(next_event(:close).value).to include(code: 4001, was_clean: true)
        end
      end

      it "closes with a code and a reason of its own" do
        serve_page(compression: true)

        expect(visit(close: [4321, "bye 🎉"])).to include("code" => 4321, "wasClean" => true)
        expect(next_event(:close).value)
          .to include(code: 4321, reason: "bye 🎉", was_clean: true)
      end
    end
  end
end
