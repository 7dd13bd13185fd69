# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "compressing for clients of other hands", :extension do
  def echoing
    lambda do |ws|
      ws.onmessage { |text| ws.send(text) }
      ws.onbinary { |bytes| ws.send_binary(bytes) }
    end
  end

  def url(scheme = "ws", port: server.port) = "#{scheme}://127.0.0.1:#{port}/"

  # One server for each of these options, in one reactor: the option by the server's URL.
  def serve_each(options)
    first, *others = options.map { |option| { compression: option } }
    serve(first, &echoing)
    ports = others.map { |option| server.also(option, &echoing).last }
    [server.port, *ports].map { |port| url(port: port) }.zip(options).to_h
  end

  name = "permessage-deflate"
  both = "server_no_context_takeover; client_no_context_takeover"
  # Offers, of which some are to be declined (RFC 7692 section 7.1), and what is answered.
  answers = {
    name => name,
    "#{name}; client_max_window_bits" => name,
    "#{name}; client_max_window_bits=12; server_max_window_bits=10; #{both}" =>
      "#{name}; #{both}; server_max_window_bits=10; client_max_window_bits=12",
    "#{name}; server_max_window_bits=10, #{name}" => "#{name}; server_max_window_bits=10",
    "#{name}, #{name}; server_max_window_bits=10" => name,
    "#{name}; server_max_window_bits=16, #{name}; client_no_context_takeover" =>
      "#{name}; client_no_context_takeover",
    "x-deflate, #{name}; server_max_window_bits, #{name}; client_max_window_bits=011, " \
    "#{name}; client_max_window_bits=\"11\"" => "#{name}; client_max_window_bits=11",
    "x-deflate" => nil,
    "#{name}; unknown" => nil,
    "#{name}; server_no_context_takeover=1" => nil,
    "#{name}; client_max_window_bits; client_max_window_bits=10" => nil,
    "#{name}; server_max_window_bits=7, #{name}; client_max_window_bits=16" => nil
  }

  # zlib compresses nothing with 8 bits; ws does it with 9, which is all the same, wsproto does not.
  { "npm's ws" => 8, "PyPI's wsproto" => 9 }.each do |client, least_bits|
    describe client do
      let(:peer) { DeflatePeer.new(client) }

      it "gets everything back, whatever it offers" do
        serve({ compression: true }, &echoing)
        results = peer.converse(url => DeflateOffer.all(least_bits..15))

        expect(results.flat_map(&:faults)).to eq([])
      end

      it "gets everything back over TLS" do
        options = { secure: true, tls_options: Certificate.tls_options }
        serve({ compression: true, **options }, &echoing)
        results = peer.converse(url("wss") => DeflateOffer.all([12]))

        expect(results.flat_map(&:faults)).to eq([])
      end

      it "is answered with the first valid offer, and goes uncompressed without any" do
        serve({ compression: true }, &echoing)
        offers = answers.map do |header, answer|
          DeflateOffer.new(answer ? DeflateOffer.parse(answer) : {}, header: header)
        end
        results = peer.converse(url => offers)
        taken, declined = results.partition(&:answer)

        expect(results.to_h { |result| [result.offer.header, result.answer] }).to eq(answers)
        expect(taken.flat_map(&:faults) + declined.flat_map(&:faults_without)).to eq([])
      end

      it "gets everything back, uncompressed, where the option is not set" do
        serve({}, &echoing)
        results = peer.converse(url => DeflateOffer.all([10]))

        expect(results.flat_map(&:faults_without)).to eq([])
      end

      options = [
        { level: 1, threshold: 0 }, { level: 9, memory_level: 9 }, { level: 0 },
        { context_takeover: false, threshold: 100 }, { window_bits: least_bits, memory_level: 1 },
        { window_bits: 12, threshold: 5000 }, { threshold: 100_000 }
      ]

      ["in the background", "on EventMachine's own sockets"].each do |way|
        it "gets everything back #{way}, whatever the options", attached: way.start_with?("on") do
          served = serve_each([{}, *options])
          results = peer.converse(served.transform_values { DeflateOffer.all([10]) })
          faults = results.flat_map do |result|
            limits = served.fetch(result.url)
            result.faults(**limits).map { |fault| [limits, fault] }
          end

          expect(faults).to eq([])
        end
      end
    end
  end
end
