# frozen_string_literal: true

# Every row of spec/support/attacks/http_bodies.rb, each time with a second request behind it that
# nobody may answer, and with a look at a connection beside it.
RSpec.describe EventMachine::WebSocket, "and plain HTTP, under attack", :extension,
               :shared_reactor do
  include HttpClient

  { "in the clear" => {}, "over TLS" => { secure: true } }.each do |way, options|
    describe way do
      attr_reader :seen, :server

      before(:context) do
        @seen = Mailbox.new
        options = options.merge(tls_options: Certificate.tls_options) if options[:secure]
        @server = Server.new({ http_body: Attacks::HttpBodies::LIMIT, **options }) do |ws|
          ws.onerror { |error| @seen << error }
          ws.onmessage { |text| ws.send(text) }
          ws.onhttp do |request, response|
            @seen << [request.path, request.body]
            response.body = "taken"
          end
        end
        @bystander = RawClient.open(@server.port, tls: options[:secure])
      end

      after(:context) do
        @bystander.disconnect
        @server.stop
      end

      before { seen.drain }

      def assail(bytes, cut, tls)
        client = dial(tls: tls)
        client.write(bytes.b + Attacks::HttpBodies::SMUGGLED, cut: cut)
        response_of(client)
      end

      def expect_nothing_else
        server.call { nil }
        expect(seen).to be_empty
        @bystander.text("and on")
        expect(@bystander.read_text).to eq("and on")
      end

      Attacks::HttpBodies::ROWS.each do |name, section, bytes, status, body|
        [1_000_000, 1].each do |cut|
          next if cut == 1 && (options[:secure] || bytes.bytesize > 400)

          it "#{name} (#{section}): #{status || "the end"}#{", byte by byte" if cut == 1}" do
            response = assail(bytes, cut, options[:secure])

            expect(response&.status).to eq(status)
            if status == 200
              expect(response.body).to eq("taken")
              expect(seen.pop).to eq(["/x", body.b])
            else
              expect(seen.pop).to be_a(EM::WebSocket::HandshakeError)
            end
            expect_nothing_else
          end
        end
      end
    end
  end
end
