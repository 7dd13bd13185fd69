# frozen_string_literal: true

module Torture
  # A client that never reads what it is sent.
  class Unread < Fault
    fault "unread", "1 GiB for a client that never reads, with an :outbound_limit", limit: 240

    LIMIT = 4 * 1024 * 1024
    PIECE = Random.new(6455).bytes(64 * 1024).freeze
    KINDS = {
      "plain" => {}, "TLS" => { secure: true }, "compressed" => { compression: true }
    }.freeze

    def run
      KINDS.each { |kind, options| try(kind, options) }
    end

    private

    def try(kind, options)
      options = options.merge(outbound_limit: LIMIT)
      options[:tls_options] = Certificate.tls_options if options[:secure]
      server = serve_without_end(options, scaled(1024, 128) * 1024 * 1024)
      client = Client.new(server.port, tls: options[:secure] || false)
      headers = {}
      headers[:Sec_WebSocket_Extensions] = "permessage-deflate" if options[:compression]
      client.open(**headers)
      # (TLS for the bystander, too.)
      watched = Bystander.new(server.port, tls: options[:secure] || false)
      server.usage.mark
      client.text("go")
      report(kind, server, scaled(1024, 128))
      unaffected(watched)
      client.close
    end

    def report(kind, server, mib)
      told = nil
      eventually(120) { (told = server.ask(:told))[:sent] == mib }
      promise "#{kind}: MiB that the application sends", told[:sent], equals: mib
      memory(server, kind: kind, at_most: (LIMIT / MIB) + 24)
      code = settles_at(1006) { server.ask(:told)[:code] }
      promise "#{kind}: the connection is aborted with", code, equals: 1006
    end

    # Sends, to who says "go", a MiB at a time; echoes to others.
    def serve_without_end(options, total)
      told = { sent: 0, code: nil }
      serve(options, answers: { told: -> { told } }) do |ws|
        ws.onmessage do |text|
          next ws.send(text) unless text == "go"

          ws.onclose { |event| told[:code] = event[:code] }
          go_on = lambda do
            16.times { ws.send_binary(PIECE) }
            told[:sent] += 1
            EM.next_tick(go_on) if told[:sent] * MIB < total
          end
          go_on.call
        end
      end
    end
  end

  # A client whose TCP window is closed for a while.
  class Window < Fault
    fault "window", "a client whose TCP window is 0 for a while, and then reads"

    def run
      count = scaled(20_000, 5000)
      server = serve do |ws|
        ws.onmessage do |text|
          next ws.send(text) unless text == "go"

          1.upto(count) { |n| ws.send("#{n} ".ljust(1000, "x")) }
          ws.send("all sent")
        end
      end
      client = Client.open(server.port, window: 4096)
      watched = bystander(server)
      client.text("go")
      sleep(scaled(5, 1))
      ledger = Ledger.new
      done = false
      client.on_frame = ->(_, body) { body == "all sent" ? done = true : ledger << body.to_i }
      client.receive
      early = ledger.count
      Client.pump([client]) { done }
      report(early, ledger, count)
      unaffected(watched)
    end

    private

    def report(early, ledger, count)
      promise "messages through a closed window", early, at_most: count / 2
      promise "messages once it is open", ledger.count, equals: count
      promise "sum of their numbers", ledger.sum, equals: count * (count + 1) / 2
      promise "out of order", ledger.disorder, equals: 0
    end
  end
end
