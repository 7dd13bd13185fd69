# frozen_string_literal: true

require_relative "native"

module EventMachine
  module WebSocket
    # The media type of {.metrics}.
    METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    # The text format of Prometheus, of what servers have seen and done.
    #
    # @api private
    module Metrics
      # Every number of {WebSocket.stats}: its name, type and help here, and labels where several
      # share a name.
      NUMBERS = {
        connections: ["connections", "gauge", "Connections that are open."],
        accepted: ["connections_accepted_total", "counter", "Connections that were accepted."],
        turned_away: ["connections_turned_away_total", "counter",
                      "Connections that were rejected because of :max_connections."],
        turned_away_by_ip: ["clients_turned_away_total", "counter",
                            "Connections that were rejected because of their address's limits.",
                            { limit: "max_connections_per_ip" }],
        turned_away_by_rate: ["clients_turned_away_total", "counter",
                              "Connections that were rejected because of their address's limits.",
                              { limit: "handshakes_per_second" }],
        messages_received: ["messages_received_total", "counter",
                            "Messages received, without pings and pongs."],
        bytes_received: ["received_bytes_total", "counter", "Bytes of messages received."],
        messages_sent: ["messages_sent_total", "counter",
                        "Messages sent, without pings and pongs."],
        bytes_sent: ["sent_bytes_total", "counter", "Bytes of messages sent."],
        messages_waiting: ["waiting_messages", "gauge",
                           "Messages received and not yet delivered to the application."],
        bytes_waiting: ["waiting_bytes", "gauge",
                        "Memory of what is received and not yet delivered to the application."],
        bytes_outbound: ["outbound_bytes", "gauge", "Memory of what is sent and not yet written."],
        outbound_limits: ["connections_ended_total", "counter",
                          "Connections ended by a limit.", { limit: "outbound_limit" }],
        write_timeouts: ["connections_ended_total", "counter",
                         "Connections ended by a limit.", { limit: "write_timeout" }],
        ping_timeouts: ["connections_ended_total", "counter",
                        "Connections ended by a limit.", { limit: "ping_timeout" }],
        idle_timeouts: ["connections_ended_total", "counter",
                        "Connections ended by a limit.", { limit: "idle_timeout" }],
        message_rate_limits: ["connections_ended_total", "counter",
                              "Connections ended by a limit.", { limit: "messages_per_second" }],
        longest_drain: ["longest_drain_seconds", "gauge",
                        "The longest delivery of events so far, the application's blocks included."]
      }.freeze

      # The numbers of channels, which are the process's.
      CHANNELS = {
        channels: ["channels", "gauge", "Channels that are there."],
        subscriptions: ["subscriptions", "gauge",
                        "Subscriptions to channels, of connections and blocks."],
        messages_published: ["messages_published_total", "counter",
                             "Messages published to channels."],
        messages_delivered: ["messages_delivered_total", "counter",
                             "Messages of channels sent to subscribers."],
        messages_dropped: ["messages_dropped_total", "counter",
                           "Messages of channels dropped for slow subscribers."],
        bytes_in_channels: ["channel_bytes", "gauge", "Memory of the messages that channels keep."]
      }.freeze

      # The numbers by name, as they stand together in the text.
      FAMILIES = NUMBERS.group_by { |_, (name, type, help)| [name, type, help] }.freeze

      # Histograms, as of {BackgroundServer#histograms}.
      HISTOGRAMS = [
        ["drain_duration_seconds",
         "Time of one delivery of events, the application's blocks included."],
        ["queue_wait_seconds",
         "Time for which the oldest event of a delivery had waited for the reactor's thread."]
      ].freeze

      FAILED = ["handshakes_failed_total", "counter",
                "Opening handshakes and plain HTTP requests that were refused."].freeze

      private_constant :NUMBERS, :CHANNELS, :FAMILIES, :HISTOGRAMS, :FAILED

      class << self
        # @param servers [Array<BackgroundServer>]
        # @return [String]
        def text(servers)
          all = servers.filter_map do |server|
            stats = server.stats
            [%(server="#{label(server.authority)}"), stats, server.histograms] if stats
          end
          out = +""
          return out if all.empty?

          numbers(out, all)
          failed(out, all)
          histograms(out, all)
          channels(out)
          out
        end

        private

        # A value as it stands between quotes.
        def label(text)
          text.gsub(/["\\\n]/) { |found| found == "\n" ? "\\n" : "\\#{found}" }
        end

        def begin_family(out, name, type, help)
          out << "# HELP em_websocket_#{name} #{help}\n# TYPE em_websocket_#{name} #{type}\n"
        end

        def sample(out, name, labels, value)
          out << "em_websocket_#{name}{#{labels}} #{value}\n"
        end

        def numbers(out, all)
          FAMILIES.each do |(name, type, help), members|
            begin_family(out, name, type, help)
            all.product(members).each do |(server, stats, _), (key, (_, _, _, labels))|
              labels = labels&.map { |label, value| %(,#{label}="#{value}") }&.join
              sample(out, name, "#{server}#{labels}", stats.fetch(key))
            end
          end
        end

        def channels(out)
          stats = Native.channel_stats
          CHANNELS.each do |key, (name, type, help)|
            begin_family(out, name, type, help)
            out << "em_websocket_#{name} #{stats.fetch(key)}\n"
          end
        end

        def failed(out, all)
          begin_family(out, *FAILED)
          all.each do |server, stats, _|
            stats[:handshakes_failed].each do |reason, count|
              sample(out, FAILED.first, %(#{server},reason="#{reason}"), count)
            end
          end
        end

        def histograms(out, all)
          HISTOGRAMS.each_with_index do |(name, help), index|
            begin_family(out, name, "histogram", help)
            all.each { |server, _, both| histogram(out, name, server, *both[index]) }
          end
        end

        # A bucket counts what is shorter, too.
        def histogram(out, name, server, counts, sum)
          total = 0
          [*Native::HISTOGRAM_BOUNDS, "+Inf"].zip(counts) do |bound, count|
            sample(out, "#{name}_bucket", %(#{server},le="#{bound}"), total += count)
          end
          sample(out, "#{name}_sum", server, sum)
          sample(out, "#{name}_count", server, total)
        end
      end
    end
  end
end
